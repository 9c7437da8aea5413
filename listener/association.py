"""An established association: PDUs in, DIMSE messages to their services, responses out.

One thread serves one association with blocking reads (PS3.8 9.2, states 6 to 13; PS3.8 Annex E).
"""

import logging
import socket
from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from db.intake import Sender
from listener.command_set import MAX_COMMAND_BYTES, CommandSet
from listener.errors import locate
from listener.events import describe
from listener.negotiation import AcceptedContext
from listener.peers import Caller
from listener.upper_layer import (
    IS_COMMAND,
    IS_LAST,
    MESSAGE_CONTROL_BYTES,
    PDU_HEADER,
    PDV_HEADER,
    PDV_LENGTH_BYTES,
    AbortReason,
    AbortSource,
    Connection,
    PduType,
    ProtocolError,
    build_abort,
    build_fragment,
    build_release,
)

logger = logging.getLogger(__name__)

_RELEASE_SECONDS: Final = 1.0
_FIXED_PDU_BYTES: Final = 4  # of A-RELEASE-RQ, A-RELEASE-RP and A-ABORT
_FRAGMENT_OVERHEAD_BYTES: Final = PDV_LENGTH_BYTES + MESSAGE_CONTROL_BYTES
_KNOWN_TYPES: Final = frozenset(PduType)

Response = tuple[bytes, bytes]
"""Encoded command and encoded data set; an empty data set is not sent, nor an empty command."""


class Message(Protocol):
    """A request whose data set arrives."""

    def write(self, fragment: memoryview) -> None:
        """Take a part of the data set. The view is not valid after the call."""

    def finish(self) -> Response:
        """Return the response, once the whole data set has arrived."""

    def close(self) -> None:
        """Let go of everything. Called once, after the response or without one."""


class Services(Protocol):
    """What an association needs of its surroundings."""

    def begin(self, command: CommandSet, context: AcceptedContext, caller: Caller) -> Message:
        """Return what takes the data set of a request and responds to it."""

    def record_abort(self, sender: Sender, reason: str) -> None:
        """Record that an association was aborted from our side."""


class Association:
    """Serves the requests of an established association, one after the other."""

    def __init__(
        self,
        connection: Connection,
        caller: Caller,
        contexts: Mapping[int, AcceptedContext],
        services: Services,
        *,
        max_pdu_bytes: int,
        peer_max_pdu_bytes: int,
        message_seconds: float,
    ) -> None:
        """
        Args:
            max_pdu_bytes: The negotiated length, which the peer must not exceed.
            peer_max_pdu_bytes: The length that responses must not exceed.
            message_seconds: Time limit of a message, from its first byte to its last.
        """
        self._connection = connection
        self._caller = caller
        self._contexts = contexts
        self._services = services
        self._max_pdu_bytes = max_pdu_bytes
        self._fragment_bytes = max(1, peer_max_pdu_bytes - _FRAGMENT_OVERHEAD_BYTES)
        self._message_seconds = message_seconds
        self._command = bytearray()
        self._context: AcceptedContext | None = None
        """That of the message in hand."""
        self._message: Message | None = None

    def run(self, release: socket.socket) -> None:
        """Serve requests until the peer releases or aborts the association, or the connection ends.

        When `release` becomes readable, the association is released after the message in hand.
        """
        try:
            while self._is_in_message() or self._wait_for_message(release):
                if not self._serve_pdu():
                    return
            self._release()
        except ProtocolError as error:
            self._abort(error.reason, str(error))
        except TimeoutError:
            self._abort(AbortReason.NOT_SPECIFIED, "nothing came for too long")
        except OSError as error:
            logger.debug("%s: connection lost: %s", self._describe(), type(error).__name__)
        except Exception as error:  # noqa: BLE001  the peer must learn of it, whatever it is
            self._abort(AbortReason.NOT_SPECIFIED, locate(error))
        finally:
            self._close_message()

    # -------------------------------------------------------------------------- PDUs

    def _wait_for_message(self, release: socket.socket) -> bool:
        self._connection.set_deadline(None)
        has_data = self._connection.wait_for_data(release)
        self._connection.set_deadline(self._message_seconds)
        return has_data

    def _serve_pdu(self) -> bool:
        """Serve one PDU and return whether another one may follow."""
        kind, length = PDU_HEADER.unpack(self._connection.read(PDU_HEADER.size))
        if kind == PduType.P_DATA_TF:
            self._read_data(length)
            return True
        if kind == PduType.A_ABORT:
            logger.debug("%s: association aborted by the peer", self._describe())
            return False
        if kind != PduType.A_RELEASE_RQ:
            is_known = kind in _KNOWN_TYPES
            reason = AbortReason.UNEXPECTED_PDU if is_known else AbortReason.UNRECOGNIZED_PDU
            raise ProtocolError("a PDU that is not expected here", reason)
        self._read_fixed(length)
        self._connection.send(build_release(PduType.A_RELEASE_RP))
        self._connection.wait_for_close()
        return False

    def _read_fixed(self, length: int) -> None:
        if length != _FIXED_PDU_BYTES:
            raise ProtocolError("a PDU of wrong length", AbortReason.INVALID_PARAMETER_VALUE)
        self._connection.read(length)

    def _read_data(self, length: int) -> None:
        if length > self._max_pdu_bytes:
            raise ProtocolError(
                "a PDU above the negotiated length", AbortReason.INVALID_PARAMETER_VALUE
            )
        if not length:
            raise ProtocolError("a PDU without a fragment", AbortReason.INVALID_PARAMETER_VALUE)
        while length:
            if length < PDV_HEADER.size:
                raise ProtocolError("a truncated fragment", AbortReason.INVALID_PARAMETER_VALUE)
            item, context_id, control = PDV_HEADER.unpack(self._connection.read(PDV_HEADER.size))
            if not MESSAGE_CONTROL_BYTES <= item <= length - PDV_LENGTH_BYTES:
                raise ProtocolError(
                    "a fragment of wrong length", AbortReason.INVALID_PARAMETER_VALUE
                )
            length -= item + PDV_LENGTH_BYTES
            self._check_context(context_id)
            read = self._read_command if control & IS_COMMAND else self._read_data_set
            read(item - MESSAGE_CONTROL_BYTES, is_last=bool(control & IS_LAST))

    def _check_context(self, context_id: int) -> None:
        context = self._contexts.get(context_id)
        if context is None:
            raise ProtocolError(
                "a presentation context that was not accepted", AbortReason.INVALID_PARAMETER_VALUE
            )
        if self._context is not None and self._context is not context:
            raise ProtocolError(
                "fragments of two messages at a time", AbortReason.INVALID_PARAMETER_VALUE
            )
        self._context = context

    # -------------------------------------------------------------------------- messages

    def _is_in_message(self) -> bool:
        return self._context is not None

    def _read_command(self, size: int, *, is_last: bool) -> None:
        assert self._context is not None
        if self._message is not None:
            raise ProtocolError("a command inside a data set", AbortReason.UNEXPECTED_PARAMETER)
        if len(self._command) + size > MAX_COMMAND_BYTES:
            raise ProtocolError(
                "a command of excessive length", AbortReason.INVALID_PARAMETER_VALUE
            )
        self._command += self._connection.read_long(size)
        if is_last:
            command = CommandSet.decode(bytes(self._command))
            self._command.clear()
            self._message = self._services.begin(command, self._context, self._caller)
            if not command.has_data_set:
                self._respond()

    def _read_data_set(self, size: int, *, is_last: bool) -> None:
        message = self._message
        if message is None:
            raise ProtocolError("a data set without a command", AbortReason.UNEXPECTED_PARAMETER)
        while size:
            fragment = self._connection.read_some(size)
            size -= len(fragment)
            message.write(fragment)
        if is_last:
            self._respond()

    def _respond(self) -> None:
        assert self._message is not None
        try:
            response = self._message.finish()
            # a slow disk or database must not count as the peer's time
            self._connection.set_deadline(self._message_seconds)
            pdus = b"".join(self._fragment(response))
            if pdus:
                self._connection.send(pdus)
        finally:
            self._close_message()
            self._context = None

    def _fragment(self, response: Response) -> Iterator[bytes]:
        assert self._context is not None
        for content, kind in zip(response, (IS_COMMAND, 0), strict=True):
            for start in range(0, len(content), self._fragment_bytes):
                end = start + self._fragment_bytes
                last = IS_LAST if end >= len(content) else 0
                yield build_fragment(self._context.context_id, kind | last, content[start:end])

    def _close_message(self) -> None:
        message, self._message = self._message, None
        if message is not None:
            message.close()

    # -------------------------------------------------------------------------- end

    def _release(self) -> None:
        """Release the association from our side (PS3.8 7.2.2).

        Messages that the peer sent meanwhile are ignored. If both sides request the release, ours
        is the second response (PS3.8 7.2.2.7).
        """
        logger.info("%s: releasing the association", self._describe())
        self._connection.set_deadline(_RELEASE_SECONDS)
        self._connection.send(build_release(PduType.A_RELEASE_RQ))
        is_collision = False
        while True:
            kind, length = PDU_HEADER.unpack(self._connection.read(PDU_HEADER.size))
            if kind == PduType.P_DATA_TF and length <= self._max_pdu_bytes:
                self._connection.read_long(length)
            elif kind == PduType.A_RELEASE_RQ:
                self._read_fixed(length)
                is_collision = True
            elif kind == PduType.A_RELEASE_RP:
                self._read_fixed(length)
                break
            else:
                return
        if is_collision:
            self._connection.send(build_release(PduType.A_RELEASE_RP))
            self._connection.wait_for_close()

    def _abort(self, reason: AbortReason, why: str) -> None:
        self._services.record_abort(self._caller.sender, why)
        try:
            self._connection.set_deadline(_RELEASE_SECONDS)
            self._connection.send(build_abort(AbortSource.SERVICE_PROVIDER, reason))
        except OSError:  # the peer is gone
            return
        self._connection.wait_for_close()

    def _describe(self) -> str:
        return describe(self._caller.sender)
