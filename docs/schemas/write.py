"""Write the JSON Schemas of sidecar and index beside this file: python docs/schemas/write.py"""

import json
from pathlib import Path

from vmaf_train.shipping.in_tree import Index, Sidecar

SCHEMAS = {"sidecar.schema.json": Sidecar, "registry.schema.json": Index}


def main() -> None:
    for name, model in SCHEMAS.items():
        text = json.dumps(model.model_json_schema(), indent=2)
        Path(__file__).with_name(name).write_text(f"{text}\n")


if __name__ == "__main__":
    main()
