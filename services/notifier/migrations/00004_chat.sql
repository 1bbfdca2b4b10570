-- +goose Up

-- operator_chat: the room behind TENURE_SLACK_WEBHOOK.
ALTER TABLE messages DROP CONSTRAINT messages_recipient_check;
ALTER TABLE messages ADD CONSTRAINT messages_recipient_check CHECK (recipient IN ('owner', 'operator', 'operator_chat'));
