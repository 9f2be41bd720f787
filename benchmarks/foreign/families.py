"""The families, in the order of the table; importing them has noted where each comes from."""

from drml import GymFamily
from foreign import hybrids, masks, pictures, vectors
from foreign.package import PACKAGES

FAMILIES: dict[str, GymFamily] = {
    name: getattr(module, name)
    for module in (vectors, pictures, masks, hybrids)
    for name in PACKAGES
    if hasattr(module, name)
}
