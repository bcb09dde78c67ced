"""Why an update is written the way it is, and what a schedule looks like: for people, on top of the compiler."""

from mep_hw.explain.explanation import Explanation as Explanation
from mep_hw.explain.explanation import explain as explain
