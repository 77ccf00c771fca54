"""Correctors that are models, behind an OpenAI-compatible API or in this process: bounded, cached, accounted for.

    judge -> question -> replay, rule or cache? -> conversation (tools, answer, repair) -> model -> verdict
    correctors questions         dispatch           conversation, answers                  client or local
                                                                 limits, costs, response _/

Needs the extra ``guided-thought[chat]``; nothing outside this package imports it unless `guidance.corrector` is
``chat`` or ``local``, or an API model is evaluated.
"""
