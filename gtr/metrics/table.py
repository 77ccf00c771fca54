"""The one definition of every metric that a run logs; `docs/METRICS.md` is generated from it."""

from collections.abc import Iterable
from dataclasses import dataclass

GTR = "arXiv 2503.08525"
RAGEN2 = "arXiv 2604.06268"
MAYE = "arXiv 2504.02587, table 2"
PPO = "arXiv 1707.06347"


@dataclass(frozen=True)
class Metric:
    """A row of the table."""

    name: str
    """As logged; ``<...>`` stands for a text that the task or the agent fills in."""
    formula: str
    """How it is computed, over the turns of one rollout unless it says otherwise."""
    meaning: str
    healthy: str
    """Which direction is good, or what to expect."""
    source: str = ""


METRICS = (
    # -- episodes -------------------------------------------------------------------------------------------------
    Metric(
        "episode/success",
        "episodes that reached their goal / ended episodes",
        "Training success: sampled, with early stops; compare methods by `gtr eval` instead.",
        "up",
    ),
    Metric(
        "episode/return",
        "sum of all rewards / ended episodes",
        "Undiscounted return of an episode. A ratio of totals, so that episodes cut by the rollout's edge do not bias "
        "it towards short ones.",
        "up",
    ),
    Metric(
        "episode/conditions",
        "mean share of the goal's conditions that hold when an episode ends",
        "Partial success, in games that count conditions (ALFWorld); 1 where the goal is reached.",
        "up",
        "arXiv 1912.01734",
    ),
    Metric(
        "episode/length",
        "mean number of turns of ended episodes",
        "Counted from the episode's own start, also when that lay in an earlier rollout.",
        "steady; doubling or halving without more success is collapse",
    ),
    Metric("episode/ended", "number of ended episodes", "How many episodes the shares above rest on.", "-"),
    Metric(
        "episode/stopped",
        "episodes ended by the corrector / ended episodes",
        "Early truncation (reference code).",
        "down",
        GTR,
    ),
    Metric("episode/truncated", "episodes cut by the time limit / ended episodes", "The agent dithers.", "down"),
    Metric(
        "episode/aborted",
        "number of turns on which an environment broke",
        "Their turns count in no other metric.",
        "0",
    ),
    # -- replies --------------------------------------------------------------------------------------------------
    Metric("reply/complete", "complete replies / turns", "Replies that have every key once.", "up, near 1"),
    Metric("reply/empty", "empty replies / turns", "Nothing but white space.", "0"),
    Metric("reply/cut", "cut replies / turns", "The token limit came before the end.", "0"),
    Metric("reply/malformed", "malformed replies / turns", "Not readable as thought and action.", "0"),
    Metric("reply/missing_key", "replies without a required key / turns", "Readable but not whole.", "0"),
    Metric("reply/repeated_key", "replies with a key twice / turns", "Ambiguous, so not used.", "0"),
    Metric("reply/tokens", "mean number of sampled tokens", "Length of thought and action together.", "steady"),
    # -- actions --------------------------------------------------------------------------------------------------
    Metric("action/legal", "turns with a legal action / turns", "Incomplete replies count as not legal.", "up, near 1"),
    Metric(
        "action/illegal",
        "complete replies whose action the game forbids / complete replies",
        "Well written, but against the rules.",
        "down",
    ),
    Metric(
        "action/max_share",
        "most frequent action / actions",
        "Near 1 when the agent does one thing whatever it sees.",
        "steady; a rise without more success is collapse",
    ),
    Metric(
        "action/is/<action>",
        "turns with this action / actions",
        "The action histogram: the eight most frequent, texts cut to 32 characters.",
        "-",
    ),
    Metric(
        "action/follows",
        "actions equal to the one their thought announces / complete replies that announce one",
        "Whether acting follows thinking. Cloning thoughts with actions masked can let it slip.",
        "up, near 1",
    ),
    Metric(
        "action/follows_right",
        "the same among thoughts that pass every check",
        "Whether right thoughts lead to their actions.",
        "up, near 1",
    ),
    # -- guidance -------------------------------------------------------------------------------------------------
    Metric("guidance/correction", "wrong verdicts / usable verdicts", "Correction rate.", "down", GTR),
    Metric("guidance/hopeless", "hopeless verdicts / usable verdicts", "States that nothing can save.", "down"),
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
    # -- what thoughts say ----------------------------------------------------------------------------------------
    Metric(
        "thought/perception",
        "thoughts whose stated view of the picture is true / judged complete replies",
        "Reading accuracy. Saw the collapse of Points24 where text diversity did not.",
        "up, near 1",
    ),
    Metric(
        "thought/plan",
        "thoughts whose plan works from their state / judged complete replies",
        "Judged without the corrector's target, so that it means the same for every method.",
        "up",
    ),
    Metric("thought/step", "thoughts that announce a right next action / judged complete replies", "As it says.", "up"),
    Metric(
        "thought/start_plan",
        "first turns whose thought states a plan that works / first turns",
        "Like thought/plan on the start states only, which no policy can choose; incomplete replies count as wrong. "
        "Cannot exceed the share of start states that have a solution.",
        "up",
    ),
    Metric("thought/right", "thoughts that pass every check / judged complete replies", "As it says.", "up"),
    Metric("thought/<check>", "thoughts that pass this check / judged complete replies", "A task's own check.", "up"),
    # -- how thoughts read ----------------------------------------------------------------------------------------
    Metric("thought/characters", "mean characters of the thought's values", "Thought length.", "steady", GTR),
    Metric("thought/words", "mean words of the thought's values", "A word: letters and digits, or one sign.", "steady"),
    Metric(
        "thought/self_bleu2",
        "mean over 64 thoughts of BLEU-2 against the other 63 (NLTK smoothing method 1)",
        "How alike thoughts read. Short structured thoughts are alike even in health: watch the change.",
        "steady; near 1 is one template",
        "arXiv 1802.01886",
    ),
    Metric(
        "thought/distinct1",
        "different words / words, in 64 thoughts",
        "Vocabulary of thoughts.",
        "steady",
        "arXiv 1510.03055",
    ),
    Metric(
        "thought/distinct2",
        "different word pairs / word pairs, in 64 thoughts",
        "The same for pairs.",
        "steady",
        "arXiv 1510.03055",
    ),
    Metric(
        "thought/per_state",
        "different thoughts / different states (`Task.goal_key`)",
        "Near 0 when one thought serves every state (template collapse).",
        "steady; falls towards 1 as the agent grows sure, below it is collapse",
    ),
    Metric(
        "distinct/<field>",
        "different values of this thought field / different states",
        "The same for one part of the thought, such as the plan.",
        "as thought/per_state",
    ),
    Metric("reflection/ratio", "thoughts with reconsidering words / thoughts", "Second thoughts.", "-", MAYE),
    Metric("reflection/in_right", "right thoughts with such words / right thoughts", "As it says.", "-", MAYE),
    Metric("reflection/in_wrong", "wrong thoughts with such words / wrong thoughts", "As it says.", "-", MAYE),
    Metric("reflection/right_with", "right thoughts with such words / thoughts with them", "Do they help?", "up", MAYE),
    Metric("reflection/right_without", "right thoughts without / thoughts without", "To compare with.", "up", MAYE),
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
        "policy/kl_start",
        "mean over sampled tokens of r - 1 - log r with r = p_start / p_now (K3), nats per token",
        "Distance of the agent from where the run started.",
        "slowly up",
        "J. Schulman, Approximating KL Divergence, 2020",
    ),
    # -- the update -----------------------------------------------------------------------------------------------
    Metric("loss/policy", "the clipped policy loss times its weight", "Mean over the update's steps.", "-", PPO),
    Metric("loss/value", "the clipped squared error of the critic times its weight", "As above.", "down", PPO),
    Metric("loss/entropy", "- entropy per weighted token times its weight", "As above; 0 without a bonus.", "-"),
    Metric("loss/cloning", "- log p of the lessons' tokens times its weight, nats per token", "As above.", "down", GTR),
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
        "wall-clock seconds of a stage of the update: generate, step, correct, probe, learn",
        "Where the time goes.",
        "down",
    ),
    # -- the alarm ------------------------------------------------------------------------------------------------
    Metric("alarm/ringing", "1 while the collapse alarm rings, else 0", "See the end of this page.", "0"),
    Metric("alarm/fallen", "number of watched ideas that have fallen", "The alarm rings from two.", "0"),
)


def describe(name: str, metrics: Iterable[Metric] = METRICS) -> Metric | None:
    """The row that defines a logged name, families such as ``action/is/<action>`` included; None if there is none."""
    families = []
    for metric in metrics:
        if metric.name == name:
            return metric
        if "<" in metric.name and name.startswith(metric.name.split("<")[0]):
            families.append(metric)
    return families[0] if families else None
