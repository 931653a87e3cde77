"""The page that shows a model in a browser: its tensors, its signal, and its findings.

A page is one file that loads nothing else. It contains its data, so other commands can add
sections.
"""

from initcli.render.page.data import Page, report_page, signal_page, tensors_page
from initcli.render.page.saving import save_page
from initcli.render.page.writing import page_html

__all__ = ["Page", "page_html", "report_page", "save_page", "signal_page", "tensors_page"]
