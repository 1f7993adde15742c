"""How checks are run: one module for each kind. Each turns a definition into a ``Runner``; ``kinds`` knows which is whose.

Statuses and the words of outputs are Consul's, since people and programs read them
(https://developer.hashicorp.com/consul/docs/services/usage/checks); tests compare them with a real agent's.
"""
