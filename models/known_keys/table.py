"""Tables of known keys, and the keys of a configuration that nothing uses."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from pydantic import BaseModel

from ...graph_runtime.core.errors import clean, shorten
from ...graph_runtime.core.notices import notice

Use = Literal["used", "named", "refused", "neutral"]
NOTHING: tuple[object, ...] = (None, False, "", [], {}, ())  # values without effect


class KnownKey(NamedTuple):
    """What is done with one key.

    Attributes:
        use: used; named (in a warning) unless its value is empty or unremarkable; refused by the check; neutral, that
            is, without effect on results.
        what: how it is used, or what ignoring it means.
        unremarkable: values, besides empty ones, that need no warning.
    """

    use: Use
    what: str
    unremarkable: tuple[object, ...] = ()


Table = Mapping[str, KnownKey]
Group = tuple[Use, str, str]


def table(*groups: Group, unremarkable: Mapping[str, tuple[object, ...]] = MappingProxyType({})) -> Table:
    """A table from groups (use, what, "key key …") and the unremarkable values of some keys."""
    return MappingProxyType(
        {key: KnownKey(use, what, unremarkable.get(key, ())) for use, what, keys in groups for key in keys.split()}
    )


def keys_of(*kinds: type[BaseModel]) -> str:
    """The keys that some configurations are read by, as a group of a table."""
    return " ".join(dict.fromkeys(field.alias or key for kind in kinds for key, field in kind.model_fields.items()))


BUILD = "the module is built from it"
#: Keys that may be in any configuration.
ANYWHERE: tuple[Group, ...] = (
    (
        (
            "neutral",
            "who wrote the file, and how",
            "_class_name _diffusers_version _name_or_path _commit_hash "
            "transformers_version architectures model_type torch_dtype dtype peft_version",
        )
    ),
)
#: Keys that transformers writes into the configuration of every model.
TRANSFORMERS = (
    "chunk_size_feed_forward id2label label2id is_encoder_decoder output_attentions output_hidden_states "
    "problem_type return_dict return_dict_in_generate output_scores use_cache use_bfloat16 "
    "tf_legacy_loss tie_word_embeddings tie_encoder_decoder cross_attention_hidden_size "
    "add_cross_attention is_decoder finetuning_task task_specific_params tokenizer_class prefix "
    "sep_token_id decoder_start_token_id max_length min_length do_sample early_stopping num_beams "
    "num_beam_groups diversity_penalty temperature top_k top_p typical_p repetition_penalty "
    "length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids num_return_sequences "
    "forced_bos_token_id forced_eos_token_id remove_invalid_values exponential_decay_length_penalty "
    "suppress_tokens begin_suppress_tokens _attn_implementation_autoset"
)
#: Keys by which transformers would open, fetch or change something else.
ELSEWHERE: Group = (
    "named",
    "never followed: a module is built from its sizes, and filled from its own weights",
    "transformers_weights attn_implementation _attn_implementation _attn_implementation_internal auto_map torchscript "
    "pruned_heads custom_pipelines base_model_name_or_path revision quantization_config",
)


def is_empty(value: object) -> bool:
    """True for a value without effect: null, false, or empty."""
    return any(value == nothing and type(value) is type(nothing) for nothing in NOTHING)


def list_unused(known: Table, config: Mapping[str, object], handled: tuple[str, ...] = ()) -> list[str]:
    """The keys of a configuration that nothing uses, one phrase per key: keys to be listed, and unknown keys.

    Args:
        known: the table of this kind of configuration.
        config: its keys and values.
        handled: keys that the caller has handled.
    """
    found = []
    for key, value in config.items():
        entry = known.get(key)
        if key in handled or is_empty(value):
            continue
        if entry is None:
            found.append(f"{clean(str(key))[:60]} = {clean(shorten(value, 40))} (not known here)")
        elif entry.use == "named" and value not in entry.unremarkable:
            found.append(f"{key} = {clean(shorten(value, 40))} ({entry.what})")
    return found


def warn_unused(where: str, found: list[str]) -> None:
    """One warning for everything in a file that nothing uses."""
    if found:
        shown = "; ".join(found[:40]) + (f"; and {len(found) - 40} more" if len(found) > 40 else "")
        notice(f"ignored in {where}: {shown}")
