"""``rostra tls ca create``: an authority for the certificates of a cluster."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.files import FOR_ALL, FOR_OWNER, write_new
from rostra.cli.flags import Parser
from rostra.errors import Conflict

DAYS = 1825


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "tls ca create",
        """
        Makes an authority in the working folder: DOMAIN-agent-ca.pem, which every
        agent gets as ca_file, and DOMAIN-agent-ca-key.pem, which signs certificates
        and belongs on no agent.
        """,
    )
    parser.number("days", "Days for which the authority is valid, from now on.", default=DAYS)
    parser.value("domain", "Domain of the cluster, in the names of the files.", default="consul", metavar="name")
    parser.switch("name-constraint", "The authority can vouch for names in the domain, for localhost and for the additional ones only.")
    parser.values("additional-name-constraint", "Another domain for -name-constraint; may be repeated.", metavar="name")
    options = parser.parse(arguments)
    certificate_file, key_file = f"{options.domain}-agent-ca.pem", f"{options.domain}-agent-ca-key.pem"
    for path in (certificate_file, key_file):
        if os.path.lexists(path):
            raise Conflict(f"{path} already exists.")
    from rostra.tls.authority import make_authority
    from rostra.tls.material import utc_now

    allowed = [*options.additional_name_constraint, options.domain, "localhost"] if options.name_constraint else []
    made = make_authority(utc_now(), options.days, allowed)
    write_new(key_file, made.key, FOR_OWNER)
    write_new(certificate_file, made.certificate, FOR_ALL)
    print(f"==> Saved {certificate_file}\n==> Saved {key_file}")
    return exits.OK
