services {
  id      = "cache-1"
  name    = "cache"
  address = "10.0.0.9"
  port    = 6379
  tags    = ["primary"]
  checks  = [{ id = "cache-alive", name = "alive", ttl = "1h", status = "warning" }]
}

services {
  id      = "cache-2"
  name    = "cache"
  address = "10.0.0.10"
  port    = 6379
  tagged_addresses {
    lan {
      address = "10.0.0.10"
      port    = 6379
    }
    wan {
      address = "198.51.100.10"
      port    = 16379
    }
  }
}

services {
  name                = "elsewhere"
  address             = "db.example.com"
  port                = 5432
  enable_tag_override = true
}
