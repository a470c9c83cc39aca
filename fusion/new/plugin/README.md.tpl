# fusion-$kebab

The modality `$name` for fusion: an encoder, and a source of made-up rows until yours are there.

```console
$$ pip install -e '.[test]'
$$ fusion plugins check $kebab-net
$$ fusion plugins check $kebab-rows
$$ fusion train recipe.yaml
$$ pytest
```

- `$package/encoder.py`: `read` says what a sample is, `collate` makes tensors of many, `forward` encodes them. Replace
  these three.
- `$package/source.py`: rows of signals, and words that name them. Replace it, or delete it and read a table by
  `{name: datasets, data: ...}`.
- `recipe.yaml` binds `$name` to words.
