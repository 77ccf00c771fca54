"""Correctors that are models behind an OpenAI-compatible API: bounded, cached, accounted for.

    judge -> question -> journal (asked before?) -> conversation (tools, answer, repair) -> client -> verdict
                                                        limits, retries, budget, ledger _/

Needs the extra ``gtr[chat]``; nothing outside this package imports it unless `guidance.corrector` is ``chat``.
"""
