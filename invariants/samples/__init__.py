"""Correct targets in this process, and twins with a planted defect, to try invariants on."""
