"""Renders Envoy's configuration from the files in `envoy/`, the contracts, and a few settings.

write_certificate_sources(settings)
config.write_text(render(settings))
subprocess.Popen(command(config, settings))
"""

from tools.envoy_config.credentials import write_certificate_sources
from tools.envoy_config.rendering import render
from tools.envoy_config.settings import EdgeSettings
from tools.envoy_config.starting import command

__all__ = ["EdgeSettings", "command", "render", "write_certificate_sources"]
