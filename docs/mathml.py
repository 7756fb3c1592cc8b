"""Sphinx extension: formulas become MathML, which browsers draw themselves, so that pages need no script for them."""

from __future__ import annotations

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)


def to_mathml(latex: str, display: str) -> str:
    """MathML of a formula; the formula itself as code where the converter gives up."""
    try:
        return convert(latex, display=display)
    except Exception as error:  # the converter documents no exceptions of its own; a page matters more than a formula
        logger.warning("formula not converted (%s): %s", error, latex)
        return f"<code>{nodes.unescape(latex)}</code>"


def visit_math(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(to_mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_displaymath(translator: HTML5Translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math-block">{to_mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict:
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
