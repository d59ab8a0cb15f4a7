"""The lowest versions that pyproject.toml allows, as constraints for pip: lowest.py [EXTRA …] > lowest.txt"""

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
wanted = [*project["dependencies"], *(line for extra in sys.argv[1:] for line in extras[extra])]
for line in wanted:
    if found := re.match(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)", line):
        print(f"{found[1]}=={found[2]}")
