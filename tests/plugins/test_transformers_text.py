"""The text encoder of fusion_transformers: buckets of similar length, pooling, lengths and tokenizers."""

import json
from dataclasses import replace

import pytest
import torch
import transformers as hf
from fusion_transformers.text import HfText

from fusion import DataError
from tests.plugins.transformers_families import encode, saved
from tests.plugins.transformers_folders import SMALL, TEXTS, read, save_bert, save_siglip, words

TINY = {"model": "config:bert", "settings": SMALL | {"max_position_embeddings": 64}}


def tiny(**options):
    torch.manual_seed(0)
    return HfText(**TINY | options).eval()


# buckets


def test_a_batch_in_buckets_equals_the_batch_in_one():
    encoder = tiny()
    texts = ["ab", "a much longer text that is padded against", "abc", "x" * 50, "y" * 52]
    samples = [encoder.processor.decode(text) for text in texts]
    apart = replace(encoder.processor, overhead=0).collate(samples)
    together = replace(encoder.processor, overhead=10**6).collate(samples)
    assert sum(name.startswith("ids") for name in apart) == 5
    assert sum(name.startswith("ids") for name in together) == 1
    with torch.no_grad():
        one, other = encoder(**apart), encoder(**together)
    torch.testing.assert_close(one.pooled, other.pooled, rtol=0, atol=1e-5)
    assert torch.equal(one.mask, other.mask)
    torch.testing.assert_close(one.tokens[one.mask], other.tokens[one.mask], rtol=0, atol=1e-5)


def test_what_stands_in_padding_does_not_reach_a_text():
    encoder = tiny()
    encoder.processor = replace(encoder.processor, overhead=10**6)
    before = encode(encoder, ["short", "a longer text"]).pooled
    with torch.no_grad():
        encoder.model.embeddings.word_embeddings.weight[0] = 1e3
    torch.testing.assert_close(encode(encoder, ["short", "a longer text"]).pooled, before, rtol=0, atol=0)


# pooling


def test_each_pooling_takes_its_tokens():
    states = tiny().state_dict()
    for pooling in ("cls", "mean", "last"):
        encoder = tiny(pooling=pooling)
        encoder.load_state_dict(states)
        pooled, tokens, mask = encode(encoder, TEXTS)
        for row in range(len(TEXTS)):
            real = tokens[row][mask[row]]
            expected = {"cls": real[0], "mean": real.mean(0), "last": real[-1]}[pooling]
            torch.testing.assert_close(pooled[row], expected, rtol=0, atol=1e-6)


def test_the_pooler_is_there_only_where_it_is_used(tmp_path):
    tokenizer = hf.BertTokenizer.from_pretrained(saved("bert", tmp_path))
    model = hf.BertModel(hf.BertConfig(**SMALL, vocab_size=60))
    model.save_pretrained(tmp_path)
    encoder = HfText(model=str(tmp_path), pooling="output")
    expected = model.eval()(**tokenizer("a day", return_tensors="pt")).pooler_output
    torch.testing.assert_close(encode(encoder, ["a day"]).pooled, expected, rtol=0, atol=1e-5)
    assert any("pooler" in name for name in encoder.state_dict())
    assert not any("pooler" in name for name in HfText(model=str(tmp_path)).state_dict())


@pytest.mark.parametrize(
    ("kept", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": "lasttoken"}, "last"),
    ],
)
def test_a_model_is_pooled_as_sentence_transformers_keeps_it(tmp_path, kept, pooling):
    folder = saved("bert", tmp_path)
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32} | kept))
    assert HfText(model=folder).pooling == pooling
    assert HfText(model=folder, pooling="mean").pooling == "mean"


def test_a_pooling_that_is_not_ours_is_named(tmp_path):
    folder = saved("bert", tmp_path)
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(
        ValueError, match="asks for pooling by pooling_mode_max_tokens; give pooling: cls, mean"
    ):
        HfText(model=folder)
    assert HfText(model=folder, pooling="cls").pooling == "cls"


def test_a_model_without_a_vector_of_its_own_is_named():
    with pytest.raises(ValueError, match="'output', but DistilBertModel gives no pooled vector of its own"):
        HfText(model="config:distilbert", settings={"dim": 32, "n_heads": 2}, pooling="output")


# lengths and tokenizers


def test_texts_are_cut_at_max_length_and_keep_their_end():
    processor = tiny(max_length=6).processor
    assert processor.decode("x" * 99) == [257, *processor.decode("xxxx")[1:-1], 258]
    assert tiny().processor.decode("x" * 99)[-1] == 258
    assert len(tiny().processor.decode("x" * 99)) == 64
    assert [processor.count_tokens(processor.decode(text)) for text in ("x", "xx", "x" * 99)] == [3, 4, 6]


def test_a_length_beyond_the_positions_of_a_model_is_named():
    with pytest.raises(ValueError, match="max_length is 65; the model has positions for 64 tokens"):
        tiny(max_length=65)
    with pytest.raises(ValueError, match="max_length is 64; the model has positions for 63 tokens"):
        tiny(model="config:roberta", max_length=64)  # counts on from its padding, 0


def test_the_longest_text_has_a_position_for_every_token():
    assert encode(tiny(model="config:roberta"), ["x" * 99]).tokens.shape == (1, 63, 32)
    assert tiny(model="config:modernbert", settings=SMALL).processor.max_length == 512
    assert tiny(model="config:t5", settings={"d_model": 32, "num_layers": 1}).processor.max_length == 512


def test_a_prefix_comes_before_every_text():
    plain, prefixed = tiny(), tiny(prefix="query: ")
    assert prefixed.processor.decode("a day") == plain.processor.decode("query: a day")
    assert encode(prefixed, ["a day"]).pooled.equal(encode(plain, ["query: a day"]).pooled)


def test_without_a_tokenizer_a_token_is_a_byte():
    encoder = tiny()
    ids = encoder.processor.decode("aü b")
    assert len(ids) == 2 + 5  # start and end, and ü is two bytes
    assert ids[0] == 257
    assert ids[-1] == 258
    assert max(ids) < encoder.model.config.vocab_size == 259
    every = bytes(range(256)).decode("latin-1")
    assert len({token for letter in every[1:].split() for token in encoder.processor.decode(letter)}) > 100
    assert encoder.processor.decode("漢") == encoder.processor.decode("漢 ")


def test_siglip_reads_texts_of_full_length_with_their_padding(tmp_path):
    save_siglip(tmp_path)
    processor = HfText(model=str(tmp_path)).processor
    inputs = processor.collate([processor.decode("a"), processor.decode("a day")])
    assert inputs["ids_0"].shape == (2, 48)
    assert [processor.count_tokens(processor.decode(text)) for text in ("a", "a day")] == [48, 48]
    assert inputs["mask_0"].sum(1).tolist() == [3, 6]  # [CLS] a [SEP], and d ##a ##y


def test_a_text_of_which_nothing_is_left_is_refused():
    processor = tiny().processor
    with pytest.raises(DataError, match="the text is empty"):
        processor.decode(" \n")
    deaf = replace(processor, tokenizer=lambda text, **how: {"input_ids": []})
    with pytest.raises(DataError, match="the tokenizer makes no token of the text 'a'"):
        deaf.decode("a")


def test_a_clip_that_is_pooled_otherwise_has_no_projection(tmp_path):
    folder = saved("clip text", tmp_path)
    model = read(hf.CLIPModel, tmp_path)
    encoder = HfText(model=folder, pooling="last")
    given = words(tmp_path, "a day")
    expected = model.text_model(**given).last_hidden_state[:, -1]
    torch.testing.assert_close(encode(encoder, ["a day"]).pooled, expected, rtol=0, atol=1e-5)
    assert encoder.dim == 32
    assert "model.text_projection.weight" not in encoder.state_dict()


def test_the_missing_head_of_a_masked_language_model_is_not_missed(tmp_path):
    save_bert(tmp_path)
    with pytest.raises(
        ValueError, match=r"lack pooler.dense.bias, pooler.dense.weight, which BertModel needs"
    ):
        HfText(model=str(tmp_path), pooling="output")


def test_the_pieces_of_a_text_are_its_tokens_in_words(tmp_path):
    encoder = HfText(model=saved("bert", tmp_path))
    pieces = encoder.processor.pieces(encoder.processor.decode("a day"))
    assert (pieces[0], pieces[-1]) == ("[CLS]", "[SEP]")
    assert "".join(pieces[1:-1]).replace(" ", "").replace("##", "") == "aday"
