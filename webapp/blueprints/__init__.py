"""One module for each place in the product. A view is guard → form → one service call → template or 303."""

from flask import Flask


def init_app(app: Flask) -> None:
    """Registers them all; imported here, for they import what `create_app` sets up."""
    from webapp.blueprints import (
        api_keys,
        auth,
        docs,
        fields,
        health,
        interfaces,
        lead_form,
        leads,
        mailbox,
        profile,
        queue,
    )

    for module in (auth, interfaces, fields, leads, lead_form, profile, api_keys, mailbox, docs, queue, health):
        app.register_blueprint(module.blueprint)
