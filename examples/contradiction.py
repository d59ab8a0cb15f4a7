"""Two studies that contradict each other, and how the report shows where.

In the trial 30 % of those who are given the drug recover. In the registry 40 % of all patients took the drug and
recovered. Patients who took it and recovered would also have recovered in the trial, whatever the unmeasured causes. So
the trial's share cannot be below .40 (Tian & Pearl 2000). No model fits both studies, so there are no bounds.

python examples/contradiction.py contradiction.svg draws where they differ, which needs matplotlib.
"""

import sys

import polars as pl

import duckemcc as emcc

graph = "Drug -> Recovered; Drug <-> Recovered"
registry = pl.DataFrame(
    {"Drug": ["no", "no", "yes", "yes"], "Recovered": ["no", "yes", "no", "yes"], "n": [300, 200, 100, 400]}
)
trial = pl.DataFrame({"Drug": ["yes", "yes"], "Recovered": ["no", "yes"], "n": [700, 300]})
studies = [emcc.Study(registry, weight="n", name="registry"), emcc.Study(trial, do="Drug", weight="n", name="trial")]

row = emcc.bounds(graph, studies, "PNS(Drug=yes, Recovered=yes)").to_pylist()[0]
print(f"bounds [{row['lower']}, {row['upper']}]: {row['status']}")
print(f"{row['message']}\n")

for line in emcc.compatibility(graph, studies).to_pylist():
    name = line["study"] or "all together"
    print(f"{name:18} misfit {line['misfit']:.3f}  p-value {line['p_value']:.2g}  compatible: {line['compatible']}")

print("\npatterns that differ by more than a hundredth:")
for line in emcc.frequencies(graph, studies).to_pylist():
    if abs(line["difference"]) > 0.01:
        print(f"  {line['study']:18} {line['pattern']:32} observed {line['observed']:.3f}, fitted {line['fitted']:.3f}")

share = "P(Recovered[Drug=yes]=yes)"
alone = emcc.bounds(graph, studies[0], share).to_pylist()[0]
print(f"\n{share}: [{alone['lower']:.3f}, {alone['upper']:.3f}] by the registry alone, 0.300 in the trial")

forced = emcc.bounds(graph, studies, "PNS(Drug=yes, Recovered=yes)", incompatible="report").to_pylist()[0]
print(f"\nbounds of the best fit: [{forced['lower']:.3f}, {forced['upper']:.3f}], still {forced['status']}")

if len(sys.argv) > 1:
    emcc.plot.frequencies(emcc.frequencies(graph, studies)).save(sys.argv[1])
    print(f"written: {sys.argv[1]}")
