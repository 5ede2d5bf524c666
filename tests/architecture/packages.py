"""What the architecture tests share: the modules of both packages and what they import."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("pipelines", "materialize")


@cache
def modules():
    """Every module's file, by dotted name."""
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    names = (".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files)
    return dict(zip((name.removesuffix(".__init__") for name in names), files, strict=True))


@cache
def tree(module):
    """A module's syntax tree."""
    return ast.parse(modules()[module].read_text("utf-8"))


@cache
def imports(module):
    """Dotted names of everything a module imports, inside functions too.

    ``from package import name`` counts as the module ``package.name`` where there is one.
    """
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in modules() else node.module)
    return found
