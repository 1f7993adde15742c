"""The exit codes of every command, in one place. They are Consul's, where Consul has one."""

from __future__ import annotations

OK = 0
FAILED = 1
NO_MATCH = 2
INTERRUPTED = 130
BROKEN_PIPE = 141
NO_COMMAND = 127

EXIT_CODES = {
    OK: "it worked",
    FAILED: "it failed, or the command line or the configuration is wrong; the reason is on standard error",
    NO_MATCH: "members: no member matches",
    NO_COMMAND: "no command was given, or there is none of that name",
    INTERRUPTED: "interrupted by Ctrl-C (128 + SIGINT); an agent that left properly exits 0",
    BROKEN_PIPE: "the reader of the output went away (128 + SIGPIPE)",
}
