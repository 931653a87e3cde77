"""Public names and their types."""

from initcli.checks import Finding as Finding
from initcli.checks import Report as Report
from initcli.checks import check as check
from initcli.checks.fixing import Fixed as Fixed
from initcli.checks.fixing import fix as fix
from initcli.errors import ChecksFailed as ChecksFailed
from initcli.errors import InitcliError as InitcliError
from initcli.errors import InvalidSpec as InvalidSpec
from initcli.layers import Layer as Layer
from initcli.limits import Limits as Limits
from initcli.limits import limited as limited
from initcli.measuring.difference import Difference as Difference
from initcli.measuring.fit import Fit as Fit
from initcli.measuring.fit import fit as fit
from initcli.measuring.histogram import Histogram as Histogram
from initcli.measuring.measurement import Measurement as Measurement
from initcli.measuring.measurement import data_histogram as data_histogram
from initcli.measuring.measurement import measure as measure
from initcli.model import BuiltLayer as BuiltLayer
from initcli.model import Model as Model
from initcli.parameter import Parameter as Parameter
from initcli.render.gallery import histograms as histograms
from initcli.render.gallery import save_histograms as save_histograms
from initcli.render.plots import Style as Style
from initcli.render.weights_file import export as export
from initcli.reports.diff import Change as Change
from initcli.reports.diff import Diff as Diff
from initcli.reports.diff import diff as diff
from initcli.reports.identify import Identification as Identification
from initcli.reports.identify import identify as identify
from initcli.reports.summary import Summary as Summary
from initcli.reports.summary import TensorSummary as TensorSummary
from initcli.reports.summary import Totals as Totals
from initcli.reports.summary import summarize as summarize
from initcli.reports.summary import theory as theory
from initcli.reports.summary import totals as totals
from initcli.sampling.chunks import draw as draw
from initcli.sampling.workers import Workers as Workers
from initcli.sampling.workers import cluster as cluster
from initcli.sampling.workers import processes as processes
from initcli.signal.comparison import Compared as Compared
from initcli.signal.comparison import Comparison as Comparison
from initcli.signal.comparison import compare as compare
from initcli.signal.comparison import variants as variants
from initcli.signal.figures import Signal as Signal
from initcli.signal.measured import measure_signal as measure_signal
from initcli.signal.measured import predict_signal as predict_signal
from initcli.signal.verdict import Verdict as Verdict
from initcli.signal.verdict import verdict as verdict
from initcli.sources.load import load as load
from initcli.sources.load import parse as parse
from initcli.sources.schema import schema as schema

__version__: str
__all__: list[str]
