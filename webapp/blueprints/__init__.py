"""One module for each part of the product. A view is guard → form → one service call → template or 303."""

from flask import Flask


def init_app(app: Flask) -> None:
    """Registers all blueprints. They are imported here because they import what `create_app` sets up."""
    from webapp.blueprints import (
        api,
        api_keys,
        audit_log,
        auth,
        docs,
        embedding,
        events,
        fields,
        files,
        health,
        interface_mails,
        interfaces,
        invitations,
        lead_form,
        leads,
        loader,
        mailbox,
        mcp,
        passwords,
        privacy,
        profile,
        public_keys,
        queue,
        users,
        webhook_desk,
        webhooks,
    )

    people = (auth, passwords, profile, api_keys, events, users, invitations, audit_log)
    tabs = (interfaces, webhooks, webhook_desk, fields, interface_mails, privacy, embedding)
    public = (lead_form, loader, api, mcp, docs, public_keys, health)
    for module in (*people, *tabs, leads, files, mailbox, queue, *public):
        app.register_blueprint(module.blueprint)
