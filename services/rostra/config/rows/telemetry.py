"""Metrics and logs."""

from __future__ import annotations

from rostra.config.key import Key, Kind, Standing

WORKS, HARMLESS, REFUSED = Standing.WORKS, Standing.HARMLESS, Standing.REFUSED
STRING, BOOL, INT, DURATION, STRINGS = Kind.STRING, Kind.BOOL, Kind.INT, Kind.DURATION, Kind.STRINGS

NO_SINK = "metrics are served for Prometheus at -metrics-addr, and sent nowhere"
OWN_METRICS = "metrics have rostra's own names"
NO_SYSLOG = "the log goes to standard output, and to log_file"

CIRCONUS = (
    "api_app", "api_token", "api_url", "broker_id", "broker_select_tag", "check_display_name", "check_force_metric_activation",
    "check_id", "check_instance_id", "check_search_tag", "check_tags", "submission_interval", "submission_url",
)  # fmt: skip

TELEMETRY = (
    Key(WORKS, "metrics_addr", Kind.LISTEN, "", "Address and port of Prometheus metrics and readiness; off if not given.",
        flags=("metrics-addr",), field="telemetry.metrics_addr"),
    Key(HARMLESS, "telemetry.prometheus_retention_time", DURATION, 0.0, "How long metrics are kept; 0 turns them off.", note=NO_SINK),
    Key(HARMLESS, "telemetry.statsd_address", STRING, "", "A statsd server.", note=NO_SINK),
    Key(HARMLESS, "telemetry.statsite_address", STRING, "", "A statsite server.", note=NO_SINK),
    Key(HARMLESS, "telemetry.dogstatsd_addr", STRING, "", "A DogStatsD server.", note=NO_SINK),
    Key(HARMLESS, "telemetry.dogstatsd_tags", STRINGS, (), "Tags for it.", note=NO_SINK),
    Key(HARMLESS, "telemetry.metrics_prefix", STRING, "consul", "Prefix of each metric.", note=OWN_METRICS),
    Key(HARMLESS, "telemetry.prefix_filter", STRINGS, (), "Metrics to keep and to drop.", note=OWN_METRICS, reloadable=True),
    Key(HARMLESS, "telemetry.filter_default", BOOL, True, "Keep what no filter names.", note=OWN_METRICS, reloadable=True),
    Key(HARMLESS, "telemetry.disable_hostname", BOOL, False, "No host name in gauges.", note=OWN_METRICS),
    Key(HARMLESS, "telemetry.disable_compat_1.9", BOOL, False, "No metrics of old.", note=OWN_METRICS),
    Key(HARMLESS, "telemetry.disable_per_tenancy_usage_metrics", BOOL, False, "No usage by tenant.", note=OWN_METRICS),
    Key(HARMLESS, "telemetry.enable_host_metrics", BOOL, False, "Metrics of the machine.", note=OWN_METRICS),
    Key(HARMLESS, "telemetry.retry_failed_connection", BOOL, True, "Try sinks again.", note=NO_SINK),
    *(Key(HARMLESS, f"telemetry.circonus_{name}", STRING, "", "A hosted sink.", note=NO_SINK, secret=name == "api_token")
      for name in CIRCONUS),
)  # fmt: skip

LOGS = (
    Key(WORKS, "log_level", STRING, "info", "Least severe log line: trace, debug, info, warn or error.", flags=("log-level",),
        field="logs.level", dev="debug", choices=("trace", "debug", "info", "warn", "error"), reloadable=True),
    Key(WORKS, "log_json", BOOL, False, "Log as JSON.", flags=("log-json",), field="logs.json"),
    Key(WORKS, "log_file", STRING, "", "Log to this file too; a path that ends with / is a folder.", flags=("log-file",),
        field="logs.file"),
    Key(WORKS, "log_rotate_bytes", INT, 0, "Bytes of a log file before the next begins; 0 for no limit.",
        flags=("log-rotate-bytes",), field="logs.rotate_bytes", minimum=0),
    Key(WORKS, "log_rotate_duration", DURATION, 24 * 3600.0, "Time before the next log file begins.", flags=("log-rotate-duration",),
        field="logs.rotate_duration_s"),
    Key(WORKS, "log_rotate_max_files", INT, 0, "Older log files that are kept; 0 for all, -1 for none.",
        flags=("log-rotate-max-files",), field="logs.rotate_max_files", minimum=-1),
    Key(REFUSED, "enable_syslog", BOOL, False, "Log to syslog too.", flags=("syslog",), field="logs.syslog", note=NO_SYSLOG),
    Key(HARMLESS, "syslog_facility", STRING, "LOCAL0", "Facility of those lines.", field="logs.syslog_facility", note=NO_SYSLOG),
    Key(WORKS, "pid_file", STRING, "", "File for the process ID.", flags=("pid-file",), field="logs.pid_file"),
)  # fmt: skip
