def command() -> None:
    raise NotImplementedError
