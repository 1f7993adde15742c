# /etc/rostra.d/rostra.hcl of one of three servers. A client has no server and no bootstrap_expect.
datacenter       = "dc1"
server           = true
bootstrap_expect = 3
retry_join       = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
bind_addr        = "{{ GetPrivateIP }}"
# encrypt        = "the output of rostra keygen, the same everywhere"
