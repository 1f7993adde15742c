"""TLS between processes: clusters, HTTPS, gRPC and DNS with certificates that ``rostra tls`` made."""
