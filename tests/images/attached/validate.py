"""Judges SBOMs by the validators of SPDX and of CycloneDX: one argument, one file."""

import json
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.error import SPDXParsingError
from spdx_tools.spdx.parser.json import json_parser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document


def spdx(path):
    try:
        document = json_parser.parse_from_file(path)
    except SPDXParsingError as error:
        return error.get_messages()
    return [found.validation_message for found in validate_full_spdx_document(document)]


def cyclonedx(text, version):
    version = SchemaVersion["V" + version.replace(".", "_")]
    error = JsonStrictValidator(version).validate_str(text)
    return [] if error is None else [str(error).splitlines()[0]]


failed = False
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        text = file.read()
    document = json.loads(text)
    if document.get("bomFormat") == "CycloneDX":
        errors = cyclonedx(text, document["specVersion"])
    else:
        errors = spdx(path)
    for error in errors:
        print(f"{path}: {error}")
        failed = True
sys.exit(failed)
