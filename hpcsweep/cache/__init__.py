"""The cache: results by their parameters, made once."""

import logging

from sqlalchemy.orm import Mapped, mapped_column

from hpcsweep.cache.models import Base
from hpcsweep.cache.store import Store
from hpcsweep.cache.sweeping import expand_grid

__all__ = ["Base", "Mapped", "Store", "expand_grid", "mapped_column"]

# Silent unless the program that uses it says otherwise.
logging.getLogger("hpcsweep").addHandler(logging.NullHandler())
