"""What process tests are made of: programs that run, deployments of them, and clients that never wait longer than was promised."""
