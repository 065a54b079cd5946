"""Write the JSON Schemas of the sidecar and the index of model/tiny/ beside this file.

Usage: python docs/schemas/write.py
"""

import json
from pathlib import Path

from vmaf_train.shipping.in_tree import Index, Sidecar

for name, model in (("sidecar", Sidecar), ("registry", Index)):
    path = Path(__file__).with_name(f"{name}.schema.json")
    path.write_text(json.dumps(model.model_json_schema(), indent=2) + "\n")
