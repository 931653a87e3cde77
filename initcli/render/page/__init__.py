"""One page that shows a model in a browser: its tensors, its signal, and what is wrong with it.

A page is one file that fetches nothing. It carries its own data, so that what another command has
found joins it.
"""

from initcli.render.page.facts import Page
from initcli.render.page.saving import save_page
from initcli.render.page.sections import report_page, signal_page, tensors_page
from initcli.render.page.writing import page_html

__all__ = ["Page", "page_html", "report_page", "save_page", "signal_page", "tensors_page"]
