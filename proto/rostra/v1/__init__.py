"""The contracts between rostra's services, generated from the .proto files beside this one by ``proto/generate.py``."""
