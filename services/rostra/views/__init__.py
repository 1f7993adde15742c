"""What a process knows of the catalog, kept up to date: the read path of dns and gateway (docs/architecture.md, "A read").

Data flows ``Watch stream -> hub -> View -> reader``. ``view`` is a topic as this process has it; ``publisher`` the other
end, which turns the catalog's changes into snapshots and deltas; both are pure. ``hub`` is the asyncio shell that keeps
views fed and answers barriers; ``reader`` what dns and gateway may ask of it.
"""
