"""The public surface of the config package: a change here is on purpose."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

EXPORTED = {
    "distribution_data": {"default_template_path", "known_targets", "load_distribution", "load_image_tools"},
    "findings": {"Location", "check", "failure", "key_path", "node_at", "plain", "value_at", "where"},
    "layout": {"check_layout"},
    "load": {"check_template", "load_image_spec"},
    "merge": {"merge_mappings", "merge_templates", "origins", "takes_layout"},
    "nearest": {"allowed_values", "did_you_mean", "nearest"},
    "partition_types": {"PARTITION_TYPES", "ROOT_TYPE_BY_ARCH", "VERITY_TYPE_BY_ARCH", "type_guid"},
    "settings": {
        "IdRange",
        "Logging",
        "RepositorySettings",
        "Settings",
        "Signing",
        "ToolsArchiveSetting",
        "load_settings",
        "own_settings_file",
        "settings_file",
    },
    "sizes": {"MIB", "format_size", "parse_size"},
    "to_spec": {"image_spec", "local_file"},
    "yaml_source": {"Entry", "MappingNode", "Node", "ScalarNode", "SequenceNode", "parse_yaml", "read_yaml"},
}


@pytest.mark.parametrize("module", sorted(EXPORTED))
def test_exported_names(module: str) -> None:
    loaded = importlib.import_module(f"os_image_composer.config.{module}")
    assert set(loaded.__all__) == EXPORTED[module]
    assert all(hasattr(loaded, name) for name in loaded.__all__)


@pytest.mark.parametrize("module", ["spec", "distribution", "settings", "sizes", "partition_types"])
def test_values_and_settings_load_without_the_parsers(module: str) -> None:
    code = (
        f"import sys, os_image_composer.config.{module}\n"
        "print([name for name in ('pydantic', 'ruamel.yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
