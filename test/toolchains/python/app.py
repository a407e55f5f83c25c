"""Answers HTTP requests with a count and the path: a fresh instance always says 1."""

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.types import Fields, OutgoingBody, OutgoingResponse, ResponseOutparam

served = 0


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request, response_out):
        global served
        served += 1
        response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain")]))
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            path = request.path_with_query()
            stream.blocking_write_and_flush(f"python {served} {path}\n".encode())
        OutgoingBody.finish(body, None)
