"""Validation and estimation of intervals: what is doubtful about readings, and what stands in for those that lack.

Pure: series, blocks, rules and registers in, findings and estimates out. Nothing is stored here and nothing is changed;
docs/vee.md tells every rule.
"""

from wattledger.readings.vee._checks import Known, check_block, spike_limits
from wattledger.readings.vee._codes import (
    CODES,
    EDITED,
    ESPI_QUALITIES,
    ESTIMATE_CODES,
    VALIDATED,
    Codes,
    codes_of,
)
from wattledger.readings.vee._estimates import (
    Estimate,
    Estimates,
    Method,
    RegisterRead,
    Unfilled,
    apportioned,
    estimate,
)
from wattledger.readings.vee._findings import RULES, Block, Finding, Findings, amount, in_words, lasting
from wattledger.readings.vee._gaps import METHODS, UNFILLED, BlockEstimates, estimate_block
from wattledger.readings.vee._registers import Registers, Step, check_registers
from wattledger.readings.vee._rules import (
    ClassRules,
    Rule,
    Rules,
    RulesFault,
    RulesRefused,
    Severity,
    load_rules,
    read_rules,
    shipped_rules,
)
from wattledger.readings.vee._series import block_of_series, check_rows, check_series, flagged

__all__ = [
    "CODES",
    "EDITED",
    "ESPI_QUALITIES",
    "ESTIMATE_CODES",
    "METHODS",
    "RULES",
    "UNFILLED",
    "VALIDATED",
    "Block",
    "BlockEstimates",
    "ClassRules",
    "Codes",
    "Estimate",
    "Estimates",
    "Finding",
    "Findings",
    "Known",
    "Method",
    "RegisterRead",
    "Registers",
    "Rule",
    "Rules",
    "RulesFault",
    "RulesRefused",
    "Severity",
    "Step",
    "Unfilled",
    "amount",
    "apportioned",
    "block_of_series",
    "check_block",
    "check_registers",
    "check_rows",
    "check_series",
    "codes_of",
    "estimate",
    "estimate_block",
    "flagged",
    "in_words",
    "lasting",
    "load_rules",
    "read_rules",
    "shipped_rules",
    "spike_limits",
]
