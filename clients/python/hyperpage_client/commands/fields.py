"""The types of fields that many commands have. Made by `make client`."""

from typing import Annotated

import msgspec

Key = Annotated[
    str,
    msgspec.Meta(
        pattern="^(?!.*\\.\\.)[A-Za-z0-9][A-Za-z0-9._:@/+=-]{0,199}(?<!\\.)$(?!\\n)", max_length=200
    ),
]
KeyPart = Annotated[
    str,
    msgspec.Meta(pattern="^(?!.*\\.\\.)[A-Za-z0-9][A-Za-z0-9._@/+=-]{0,63}(?<!\\.)$(?!\\n)", max_length=64),
]
Time = Annotated[int, msgspec.Meta(ge=0, le=253402300799999)]
Text = Annotated[str, msgspec.Meta(max_length=1000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
