"""A fast tokenizer without transformers: what the prompts and the answers need of one, by the library tokenizers alone.

It has the names that transformers' tokenizers have, so that the same code asks either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from batchtrans import BackendError

from .card import read_json

#: The classes of transformers that take tokenizer.json as it is; others build their tokenizer by rules of their own.
_PLAIN = ("PreTrainedTokenizerFast", "TokenizersBackend")
#: The fields of tokenizer_config.json and special_tokens_map.json that name one special token, and several.
_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_LISTED = ("additional_special_tokens", "extra_special_tokens")


class PlainTokenizer:
    """The tokenizer of a checkpoint whose tokenizer.json says all; see :func:`is_plain`.

    :raises BackendError: where it cannot be read.
    """

    def __init__(self, directory: Path) -> None:
        from tokenizers import Tokenizer

        try:
            self._fast = Tokenizer.from_file(str(directory / "tokenizer.json"))
        except Exception as error:  # the library raises nothing narrower
            raise BackendError(f"{directory} has no tokenizer that can be read: {error}") from None
        self._fast.no_truncation()
        self._fast.no_padding()
        self._fast.encode_special_tokens = True
        names = _special_names(directory)
        self.all_special_tokens = list(dict.fromkeys(names.values()))
        self.added_tokens_decoder: Mapping[int, Any] = self._fast.get_added_tokens_decoder()
        self.bos_token_id, self.eos_token_id, self.pad_token_id = (
            self._fast.token_to_id(names[field]) if field in names else None
            for field in ("bos_token", "eos_token", "pad_token")
        )

    def __len__(self) -> int:
        return int(self._fast.get_vocab_size(with_added_tokens=True))

    def __call__(
        self,
        texts: Sequence[str],
        add_special_tokens: bool = False,
        split_special_tokens: bool = True,
        return_attention_mask: bool = False,
    ) -> dict[str, list[list[int]]]:
        """The ids of texts, one way only: nothing is added, and special tokens in a text are text."""
        assert not add_special_tokens and split_special_tokens and not return_attention_mask
        return {"input_ids": [encoded.ids for encoded in self._fast.encode_batch(texts, add_special_tokens=False)]}

    def decode(
        self, ids: Sequence[int], skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool = False
    ) -> str:
        assert not clean_up_tokenization_spaces
        return str(self._fast.decode(ids, skip_special_tokens=skip_special_tokens))

    def batch_decode(
        self,
        rows: Sequence[Sequence[int]],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool = False,
    ) -> list[str]:
        assert not clean_up_tokenization_spaces
        return list(self._fast.decode_batch(rows, skip_special_tokens=skip_special_tokens))

    def convert_tokens_to_ids(self, token: str) -> int | None:
        """The id of a token; ``None`` for one that is not in the vocabulary."""
        number: int | None = self._fast.token_to_id(token)
        return number

    def convert_ids_to_tokens(self, number: int) -> str | None:
        """The token of an id; ``None`` for one that is not in the vocabulary."""
        token: str | None = self._fast.id_to_token(number)
        return token

    def get_added_vocab(self) -> dict[str, int]:
        return {token.content: number for number, token in self.added_tokens_decoder.items()}


def is_plain(directory: Path) -> bool:
    """Whether transformers would use the checkpoint's tokenizer.json as it is."""
    if not (directory / "tokenizer.json").is_file():
        return False
    return _settings(directory).get("tokenizer_class") in _PLAIN


def _settings(directory: Path) -> Mapping[str, Any]:
    path = directory / "tokenizer_config.json"
    return read_json(path, f"{directory} has no tokenizer that can be read") if path.is_file() else {}


def _special_names(directory: Path) -> dict[str, str]:
    """The special tokens by the fields that name them; those of a list by field and place."""
    settings: dict[str, Any] = {}
    if (path := directory / "special_tokens_map.json").is_file():
        settings.update(read_json(path, f"{directory} has no tokenizer that can be read"))
    settings.update(_settings(directory))
    names = {field: settings[field] for field in _NAMED if settings.get(field)}
    for field in _LISTED:
        listed = settings.get(field) or []
        texts = listed.values() if isinstance(listed, dict) else listed
        names.update({f"{field} {place}": text for place, text in enumerate(texts)})
    return {field: name["content"] if isinstance(name, dict) else str(name) for field, name in names.items()}
