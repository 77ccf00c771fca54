"""The one definition of every metric that a run logs; `docs/METRICS.md` is generated from it."""

from collections.abc import Iterable

from gtr.metrics.agent_rows import AGENT
from gtr.metrics.metric import Metric
from gtr.metrics.renamed import current_name

GTR = "arXiv 2503.08525"
TURBO = "arXiv 2512.13043"
TAUGHT = "count/taught_states"
RAGEN2 = "arXiv 2604.06268"
PPO = "arXiv 1707.06347"

METRICS = (
    *AGENT,
    Metric("count/tokens", "tokens of all replies of the rollout", "What sampling took.", "-"),
    Metric("count/gradient_tokens", "reply tokens that gradients went through, all passes", "What learning took.", "-"),
    Metric("count/teacher_tokens", "tokens that the teacher scored or wrote to teach", "What teaching took.", "-"),
    Metric(TAUGHT, "solvable states in which the teacher's thought was judged", "What its shares rest on.", "-"),
    # -- guidance -------------------------------------------------------------------------------------------------
    Metric("guidance/correction", "wrong verdicts / usable verdicts", "Correction rate.", "down", GTR),
    Metric("guidance/unsolvable", "UNSOLVABLE verdicts / usable verdicts", "States that nothing can save.", "down"),
    Metric("guidance/absent", "verdicts without a usable answer / verdicts asked for", "The corrector failed.", "0"),
    Metric(
        "guidance/skipped",
        "turns about which the corrector was not asked / verdicts",
        "By the settings, or because the budget was spent.",
        "0 where every turn is asked about",
    ),
    Metric(
        "guidance/edit",
        "mean over wrong verdicts on complete replies of word edits from thought to correction / words of the longer",
        "How much of a thought a correction changes; 1 rewrites it all.",
        "down",
        "Levenshtein 1966",
    ),
    Metric("guidance/score", "mean score that a judge gave, 0 to 1, over what it scored", "Its opinion.", "up", GTR),
    Metric(
        "guidance/judge_reward",
        "mean over turns of guidance.judge_reward x (2 score - 1), 0 without a score",
        "What the judge adds to the reward; not part of episode/return.",
        "up, though success may not follow (paper's ablation)",
        GTR,
    ),
    Metric("guidance/lesson", "turns that gave a lesson / turns", "Lesson rate: what the buffer gains.", "-", GTR),
    # -- a corrector that is a model: totals of the run so far, resumed parts included ---------------------------
    Metric("corrector/usd", "sum over answered requests of tokens x price", "Dollars spent so far.", "-"),
    Metric(
        "corrector/usd_unsure",
        "sum over requests that broke off of the most each can have cost",
        "What the server may have billed without our seeing it; counts towards the budget.",
        "near 0",
    ),
    Metric("corrector/requests", "requests sent so far", "Retries, tool rounds and repairs included.", "-"),
    Metric("corrector/failed", "requests without an answer", "Most are tried again.", "near 0"),
    Metric("corrector/failed/<kind>", "requests that failed in this way", "See docs/CORRECTORS.md.", "near 0"),
    Metric("corrector/tokens_in", "tokens sent", "As the server counts them.", "-"),
    Metric("corrector/tokens_out", "tokens received", "As the server counts them.", "-"),
    Metric("corrector/seconds_p50", "median seconds of the last 1,000 answered requests", "Latency.", "-"),
    Metric("corrector/seconds_p95", "95 % quantile of the same", "Slow answers.", "-"),
    Metric("corrector/cache_hits", "turns answered from memory, since the start of the process", "Free turns.", "-"),
    Metric("corrector/repairs", "answers sent back once for their form, since the start", "Costs a request.", "near 0"),
    Metric("corrector/invalid", "questions given up after a repair, since the start", "No lesson.", "near 0"),
    Metric(
        "corrector/contradictions",
        "answers whose evaluation and checks disagree, since the start",
        "The evaluation counts (reference code); many mean a weak model.",
        "near 0",
    ),
    Metric("corrector/tool_calls", "calls of the task's tools, since the start", "The paper: one a turn.", "-", GTR),
    Metric("corrector/unfunded", "turns not asked about because the budget was spent", "No lesson.", "0"),
    Metric("corrector/down", "turns not asked about because the server was down", "No lesson.", "0"),
    # -- a teacher, before the update learns ----------------------------------------------------------------------
    Metric(
        "teacher/right",
        "states in which the teacher's thought passes every check / states it was examined in",
        "On report.probe_turns turns by greedy play; under turbo_sft on every thought that is cloned.",
        "up, above thought/right; below it the teacher hurts",
        TURBO,
        n=TAUGHT,
    ),
    Metric(
        "teacher/mends",
        "states in which its thought is right and the agent's is wrong / states it was examined in",
        "What there is to learn from it.",
        "above 0",
        n=TAUGHT,
    ),
    Metric(
        "teacher/agreement",
        "states in which both thoughts are the same, word for word / states it was examined in",
        "1 is a teacher that says nothing new.",
        "below 1",
        n=TAUGHT,
    ),
    Metric(
        "teacher/kl",
        "mean over scored tokens of r - 1 - log r with r = p_teacher / p_now (K3), nats per token",
        "KL(agent || teacher), of algorithms whose teacher scores.",
        "small",
        "J. Schulman, Approximating KL Divergence, 2020",
    ),
    Metric(
        "teacher/distance_agent",
        "Euclidean norm of the merged teacher's weights less the agent's, over those that learn, as they take effect",
        "How far the agent has run ahead of its merged past.",
        "above 0",
    ),
    Metric("teacher/distance_base", "the same from the agent of the start", "How far the teacher has come.", "up"),
    Metric("teacher/merged", "past selves merged into the teacher", "0: it is the agent of the start.", "-"),
    # -- do thoughts depend on what is seen -----------------------------------------------------------------------
    Metric(
        "relevance/retrieval",
        "thoughts that are likeliest under their own prompt among all P prompts probed / thoughts; ties shared",
        "RAGEN-2's retrieval accuracy.",
        "far above relevance/chance; at chance is template collapse",
        RAGEN2,
    ),
    Metric("relevance/chance", "1/P for P different states", "Retrieval of a blind policy.", "-", RAGEN2),
    Metric(
        "relevance/mutual_information",
        "mean of log p(thought | own prompt) - log mean_j p(thought | prompt j), per token, nats",
        "RAGEN-2's proxy of the information between prompt and thought.",
        "up; near 0 is template collapse",
        RAGEN2,
    ),
    Metric("relevance/bound", "log P", "Largest possible value of the above.", "-", RAGEN2),
    Metric(
        "relevance/image_sensitivity",
        "mean of log p(thought | own picture) - log p(thought | another turn's picture), per token, nats",
        "Whether thoughts are read off the picture; the words of the prompt are unchanged.",
        "up; 0 is not looking",
    ),
    # -- the policy -----------------------------------------------------------------------------------------------
    Metric(
        "policy/entropy",
        "- mean log p of the sampled tokens, nats",
        "Estimate of the entropy per token of the distribution that was sampled. Misses template collapse.",
        "slowly down; 0 is deterministic",
        RAGEN2,
    ),
    Metric(
        "policy/kl_ref",
        "mean over sampled tokens of r - 1 - log r with r = p_ref / p_now (K3), nats per token",
        "Distance of the agent from the reference policy, the agent that the run started from.",
        "slowly up",
        "J. Schulman, Approximating KL Divergence, 2020",
    ),
    # -- the update -----------------------------------------------------------------------------------------------
    Metric("loss/policy", "the clipped policy loss times its weight", "Mean over the update's steps.", "-", PPO),
    Metric("loss/value", "the clipped squared error of the critic times its weight", "As above.", "down", PPO),
    Metric("loss/entropy", "- entropy per weighted token times its weight", "As above; 0 without a bonus.", "-"),
    Metric("loss/cloning", "- log p of the lessons' tokens times its weight, nats per token", "As above.", "down", GTR),
    Metric("loss/kl", "KL(now || start) of reply tokens times its weight, nats (K3)", "With algo.kl_weight.", "small"),
    Metric(
        "loss/distillation",
        "KL(now || teacher) over its algo.top_k likeliest tokens and the rest as one, times its weight, nats per token",
        "Of opd with algo.top_k, over the tokens that the teacher scores.",
        "down",
        "arXiv 2608.14728",
    ),
    Metric("update/clip_frac", "ratios outside 1 +- clip / ratios", "How much of the update is cut.", "below .3", PPO),
    Metric(
        "update/kl",
        "mean of r - 1 - log r with r = p_new / p_old, per ratio, nats (K3)",
        "Size of the update: KL(old || new), never negative.",
        "small",
        "J. Schulman, Approximating KL Divergence, 2020",
    ),
    Metric("update/grad_norm", "mean norm of the gradient before clipping", "Spikes announce trouble.", "steady"),
    Metric("update/learning_rate", "the learning rate of the update", "From the schedule.", "-"),
    Metric("update/lessons", "lessons in the thought buffer", "Grows over the run (DAgger).", "up", GTR),
    Metric(
        "update/logprob_mismatch",
        "largest |log p scored - log p sampled| of a token before the first step, nats",
        "Whether sampling and scoring are the same distribution.",
        "rounding only: below 1e-3 in float32",
    ),
    Metric(
        "update/explained_variance",
        "1 - Var(return - value) / Var(return); 0 where all returns are equal",
        "How much the critic knows.",
        "up towards 1",
    ),
    # -- the engine, where another samples than the trainer -------------------------------------------------------
    Metric(
        "engine/kl_k1",
        "mean over sampled tokens of log p_sampler - log p_trainer, nats",
        "KL(sampler || trainer) of equal weights, K1: what other kernels and precision do.",
        "near 0",
        "J. Schulman, Approximating KL Divergence, 2020",
    ),
    Metric(
        "engine/kl_k3",
        "mean over sampled tokens of r - 1 - log r with r = p_trainer / p_sampler, nats",
        "The same, K3: never negative.",
        "near 0: below 1e-3",
        "J. Schulman, Approximating KL Divergence, 2020",
    ),
    Metric("engine/mismatch", "largest |log p_trainer - log p_sampler| of a token, nats", "The same.", "small"),
    Metric("engine/weight", "mean importance weight of the policy loss's tokens", "See engine.correction.", "near 1"),
    Metric("engine/cut", "weights truncated or masked / weights", "How much of the correction is cut.", "near 0"),
    Metric("engine/probe", "largest mean |difference| of a server's probe, nats", "Below engine.tolerance.", "near 0"),
    Metric("engine/failed", "requests that failed and were made anew", "Since the last update.", "0"),
    Metric("engine/servers", "servers that answer", "Of engine.servers.", "all of them"),
    Metric(
        "engine/staleness",
        "updates that the weights a rollout was sampled by lie behind those that learn from it",
        "0 at the start, on resuming, and where servers failed.",
        "engine.max_staleness or less",
    ),
    # -- the starting agent ---------------------------------------------------------------------------------------
    Metric(
        "sft/success_sampled",
        "episodes won / episodes, sampled as in training, by the agent that SFT made, on starts of its own",
        "What sft.target asks for; logged with the first update.",
        "near sft.target",
    ),
    Metric("sft/success_greedy", "the same by greedy play", "What the start scores on panels.", "-"),
    # -- the panel and the clock ----------------------------------------------------------------------------------
    Metric(
        "panel/success",
        "episodes won / episodes, greedy, on the fixed panel",
        "The figure to compare: no corrector stops these episodes. Measured every train.eval_every updates.",
        "up",
    ),
    Metric("panel/<metric>", "the metric of that name over the panel's turns", "As in training, but untruncated.", "-"),
    Metric(
        "seconds/<stage>",
        "wall-clock seconds of a stage of the update: wait, sync, generate, step, correct, probe, teach, learn",
        "Where the time goes.",
        "down",
    ),
    # -- the alarm ------------------------------------------------------------------------------------------------
    Metric("alarm/ringing", "1 while the collapse alarm rings, else 0", "See the end of this page.", "0"),
    Metric("alarm/fallen", "number of watched ideas that have fallen", "The alarm rings from two.", "0"),
)


def describe(name: str, metrics: Iterable[Metric] = METRICS) -> Metric | None:
    """The row that defines a logged name, also one of an old run, families such as ``action/is/<action>`` included."""
    families = []
    now = current_name(name)
    for metric in metrics:
        if metric.name == now:
            return metric
        if "<" in metric.name and now.startswith(metric.name.split("<")[0]):
            families.append(metric)
    return families[0] if families else None
