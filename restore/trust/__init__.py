"""Owns what can be proved and taken back: the ledger of repairs, verification, patches and undo."""
