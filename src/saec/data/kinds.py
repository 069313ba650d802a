"""Former names of what stands in `saec.data.kind`."""

from saec.data.kind import DATA, DataOptions, Kind, Location, Sizes, absolute, paths_of

Place, Places, Survey = Location, DataOptions, Sizes

__all__ = ["DATA", "Kind", "Place", "Places", "Survey", "absolute", "paths_of"]
