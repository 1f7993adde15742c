"""The file that a backup is: written by catalogs, read by them and by the command line (docs/design/backup.md)."""
