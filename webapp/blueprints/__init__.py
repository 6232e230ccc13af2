"""One module for each place in the product. A view is guard → form → one service call → template or 303."""

from flask import Flask


def init_app(app: Flask) -> None:
    """Registers them all; imported here, for they import what `create_app` sets up."""
    from webapp.blueprints import (
        api_keys,
        audit_log,
        auth,
        docs,
        embedding,
        fields,
        health,
        interfaces,
        invitations,
        lead_form,
        leads,
        loader,
        mailbox,
        passwords,
        profile,
        queue,
        users,
    )

    people = (auth, passwords, profile, api_keys, users, invitations, audit_log)
    for module in (*people, interfaces, fields, embedding, leads, lead_form, loader, mailbox, docs, queue, health):
        app.register_blueprint(module.blueprint)
