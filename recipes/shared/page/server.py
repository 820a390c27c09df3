"""The server: the page, what it asks for, and nothing that comes from or goes to another machine."""

import json
import os
import secrets
from urllib.parse import quote

from flask import Flask, Response, abort, jsonify, request, send_file
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from . import acceptance, checks
from .guards import guard
from .queue_of_pictures import LARGEST_PICTURE, Busy, TooLarge
from .unfit import Unfit

LARGEST_RECORD = 256 << 20
_SAID = {
    401: "this page needs the address with the token that the program printed when it was started",
    403: "this was not asked for by the page itself",
    404: "there is nothing here",
    405: "this cannot be done here",
    413: "the file is larger than %d MB" % (LARGEST_PICTURE >> 20),
    500: "something went wrong in the program; the window in which it was started says what",
    421: "this program answers under 127.0.0.1 and localhost alone",
}


def make_app(model, pictures, installation, records, facts, port, token=None):
    """The WSGI application. `pictures` is the queue, `records` the folder of acceptance records.

    With a `token` only who has it is answered; without, only this machine under its own names, at `port`.
    """
    app = Flask(__name__, static_folder=os.path.join(os.path.dirname(__file__), "static"))
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_RECORD
    instance = secrets.token_hex(8)
    guard(app, port, token)
    _add_page(app, instance)
    _add_facts(app, model, installation, records, facts, instance)
    _add_pictures(app, pictures)
    _add_records(app, model, pictures, installation, records, facts)
    _add_checks(app, installation)
    _add_errors(app)
    return app


def _add_page(app, instance):
    @app.route("/")
    def page():
        return app.send_static_file("index.html")

    @app.route("/favicon.ico")
    def icon():
        return app.send_static_file("icon.svg")

    @app.after_request
    def say_instance(response):
        # so that a page that was left open sees that another program answers now
        response.headers["X-Wheelferry-Instance"] = instance
        return response


def _add_facts(app, model, installation, records, facts, instance):
    @app.route("/api/facts")
    def tell_facts():
        return jsonify(
            title=installation.title,
            instance=instance,
            names=model.names,
            keypoint_names=list(model.keypoint_names),
            skeleton=[list(pair) for pair in model.skeleton],
            facts=[list(fact) for fact in facts],
            largest_bytes=LARGEST_PICTURE,
            has_checks=bool(installation.checks()),
            records=acceptance.list_records(records),
        )


def _add_pictures(app, pictures):
    @app.route("/api/pictures", methods=["POST"])
    def take_picture():
        if request.content_length is not None and request.content_length > LARGEST_PICTURE:
            raise RequestEntityTooLarge
        name = os.path.basename(request.args.get("name", "picture").replace("\\", "/"))[:200]
        try:
            identifier = pictures.add(name or "picture", request.stream)
        except TooLarge:
            raise RequestEntityTooLarge from None
        except Busy:
            answer = jsonify(error="too many pictures wait already", hint="try again in a moment")
            return answer, 503, {"Retry-After": "2"}
        return jsonify(id=identifier), 202

    @app.route("/api/pictures")
    def tell_pictures():
        wanted = request.args.get("ids", "").split(",")[:100]
        known = {one: pictures.describe(one) for one in wanted}
        return jsonify({one: known[one] or {"id": one, "state": "unknown"} for one in wanted if one})

    @app.route("/api/pictures/<identifier>")
    def tell_picture(identifier):
        return jsonify(pictures.describe(identifier) or abort(404))

    @app.route("/api/pictures/<identifier>.jpg")
    def show_picture(identifier):
        entry = pictures.get(identifier)
        if entry is None or entry.state != "done":
            abort(404)
        return send_file(entry.path + ".jpg", mimetype="image/jpeg")


def _add_records(app, model, pictures, installation, records, facts):
    @app.route("/api/records", methods=["POST"])
    def accept():
        try:
            asked = acceptance.read_request(json.loads(request.form.get("record", "")))
        except ValueError:
            raise Unfit("the record is not readable") from None
        entries = [pictures.get(identifier) for identifier in asked["pictures"]]
        if not all(entry is not None and entry.state == "done" for entry in entries):
            raise Unfit("the program no longer knows all of these pictures", hint="add them again")
        seen = [file.read() for file in request.files.getlist("picture")]
        record = acceptance.make_record(asked, entries, model.names, installation.title, facts)
        name = acceptance.write_record(records, record, seen)
        return jsonify(name=name, page="/records/%s/record.html" % quote(name)), 201

    @app.route("/records/<name>/<file>")
    def show_record(name, file):
        folder = os.path.join(records, name)
        if name not in acceptance.list_records(records) or file not in os.listdir(folder):
            abort(404)
        answer = send_file(os.path.join(folder, file))
        if file.endswith(".html"):
            # it is written by us, with its style inside, to be read and printed without this program
            answer.headers["Content-Security-Policy"] = (
                "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'"
            )
        return answer


def _add_checks(app, installation):
    @app.route("/checks")
    def show_checks():
        return Response(checks.render(installation), mimetype="text/html")

    @app.route("/checks/<level>/<path:name>")
    def show_check_picture(level, name):
        path = installation.picture(level, name)
        if path is None or not os.path.isfile(path):
            abort(404)
        return send_file(path)


def _add_errors(app):
    @app.errorhandler(Unfit)
    def tell_unfit(error):
        return jsonify(error=str(error), hint=error.hint), 400

    @app.errorhandler(HTTPException)
    def tell_refusal(error):
        said = _SAID.get(error.code, "this cannot be answered")
        if request.path.startswith("/api/"):
            return jsonify(error=said, hint=""), error.code
        return Response("%s\n" % said, status=error.code, mimetype="text/plain")
