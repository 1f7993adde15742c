"""Filter expressions in Consul's grammar on our own values: the same on the HTTP and the gRPC doors.

``expressions`` reads them, ``selectors`` says what each kind of record has, ``patterns`` matches in time linear in the text.
"""

from rostra.filters.expressions import Predicate, compile_filter
from rostra.filters.selectors import CHECK, MEMBER, SERVICE, SUMMARY, Schema, schemas_of

__all__ = ["CHECK", "MEMBER", "SERVICE", "SUMMARY", "Predicate", "Schema", "compile_filter", "schemas_of"]
