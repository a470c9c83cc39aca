[build-system]
requires = ["hatchling>=1.24"]
build-backend = "hatchling.build"

[project]
name = "fusion-$kebab"
version = "0.1.0"
description = "The modality $name for fusion."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["fusion-bind"]

[project.optional-dependencies]
test = ["pytest"]

[project.entry-points.fusion]
$name = "$package"

[tool.hatch.build.targets.wheel]
packages = ["$package"]

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["."]
