"""Find the tokenizer of a model, or make one of bytes for a model that has none."""

from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from fusion_transformers.configuration import Described, short
from fusion_transformers.weights import quiet

PAD, START, END = "<|pad|>", "<|start|>", "<|end|>"


def tokenizer_of(described: Described) -> PreTrainedTokenizerBase | None:
    """Return the tokenizer of a model; None where random weights have none. Raises ValueError."""
    if described.repository is None:
        return None
    folder = described.repository.folder
    try:
        with quiet():
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(  # a folder  # nosec B615
                folder, trust_remote_code=False
            )
        if _complete(tokenizer, folder):
            return tokenizer
        reason = "its vocabulary is not there"
    except Exception as error:  # of a dozen types, by what is missing: a file, a class, sentencepiece
        reason = short(error)
    if described.weights == "random":
        return None
    raise ValueError(
        f"{folder} holds no tokenizer that can be read ({reason}); {described.repository.remedy}"
    )


def _complete(tokenizer: PreTrainedTokenizerBase, folder: Path) -> bool:
    """Whether the files of the tokenizer are there: without them the library makes one that knows no word."""
    names = {*tokenizer.vocab_files_names.values()}
    return not names or any((folder / name).is_file() for name in names | {"tokenizer.json"})


def byte_tokenizer(config: PretrainedConfig) -> PreTrainedTokenizerBase:
    """Return a tokenizer whose tokens are the 256 bytes, a start and an end, and bring the model into line.

    Sets the vocabulary and the special tokens in `config`. Padding is 0 and the end the highest number, as
    models expect it that count positions from the padding (RoBERTa) or look for the highest number (CLIP).
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    numbers = {PAD: 0, **{letter: number for number, letter in enumerate(letters, 1)}}
    start, end = len(numbers), len(numbers) + 1
    model = Tokenizer(models.BPE(vocab={**numbers, START: start, END: end}, merges=[]))
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    model.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, start), (END, end)]
    )
    config.vocab_size = end + 1
    ids = {
        "pad_token_id": 0,  # an id  # nosec B105
        "bos_token_id": start,
        "cls_token_id": start,
        "eos_token_id": end,
        "sep_token_id": end,
    }
    for name in ids.keys() & config.to_dict().keys():
        setattr(config, name, ids[name])
    return PreTrainedTokenizerFast(
        tokenizer_object=model,
        pad_token=PAD,
        bos_token=START,
        cls_token=START,
        eos_token=END,
        sep_token=END,
    )
