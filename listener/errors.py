"""What can go wrong while an object comes in. No text here carries anything from the network."""


class ListenerError(Exception):
    """Base of every error of this package; ``permanent`` says that sending again cannot help."""

    permanent = True


class NotAuthorized(ListenerError):
    """The sender was struck off the routes file while its association was open."""

    def __init__(self) -> None:
        super().__init__("The sender is no longer among the sources of the routes file.")


class IdentityMismatch(ListenerError):
    """The C-STORE request says one thing and the data set another (PS3.4 B.2.3, status A9xx)."""

    def __init__(self, keyword: str) -> None:
        super().__init__(f"The data set's {keyword} is not the one of the C-STORE request.")
        self.keyword = keyword


class UnknownTransaction(ListenerError):
    """A storage commitment report under a Transaction UID that nobody here asked with."""

    code = "unknown-transaction"

    def __init__(self) -> None:
        super().__init__("Nobody here asked for storage commitment under this Transaction UID.")


class CannotListen(ListenerError):
    """The address and port of the settings cannot be had."""

    permanent = False

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"cannot listen on {host} port {port}: {reason}."
            " Set SONOGATE_DICOM_HOST and SONOGATE_DICOM_PORT to a free one"
        )
        self.host = host
        self.port = port
