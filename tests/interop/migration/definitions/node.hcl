check = {
  id     = "disk"
  name   = "disk"
  ttl    = "1h"
  status = "passing"
  notes  = "of the whole node"
}

node_meta {
  rack = "r7"
}
