"""What servers say unasked: notices, notifications, changed parameters."""

import threading

from common import connect, equal, value

with connect(autocommit=True) as connection:
    heard = []
    connection.add_notice_handler(lambda notice: heard.append((notice.severity, notice.sqlstate, notice.message_primary)))
    connection.execute("DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two' USING ERRCODE = '01234'; END $$")
    connection.execute("DROP TABLE IF EXISTS missing")
    equal(heard, [
        ("NOTICE", "00000", "one"),
        ("WARNING", "01234", "two"),
        ("NOTICE", "00000", 'table "missing" does not exist, skipping'),
    ])

# Notifications from another session, while idle and between reads.
with connect(autocommit=True) as listener, connect(autocommit=True) as speaker:
    listener.execute("LISTEN news")
    told = []
    sender = threading.Thread(target=lambda: [speaker.execute("SELECT pg_notify('news', %s)", [str(n)]) for n in range(20)])
    sender.start()
    for notification in listener.notifies(timeout=60, stop_after=20):
        equal(notification.channel, "news")
        told.append(notification.payload)
    sender.join()
    equal(told, [str(n) for n in range(20)])
    listener.execute("UNLISTEN news")
    speaker.execute("NOTIFY news, 'unheard'")
    equal(list(listener.notifies(timeout=0)), [])
    equal(value(listener, "SELECT 'still here'"), "still here")

# In a transaction they come after the commit.
with connect() as connection:
    connection.execute("LISTEN own")
    connection.commit()
    connection.execute("NOTIFY own, 'hello'")
    connection.commit()
    equal([n.payload for n in connection.notifies(timeout=60, stop_after=1)], ["hello"])

with connect(autocommit=True) as connection:
    equal(connection.info.parameter_status("application_name"), "")
    connection.execute("SET application_name = 'told'")
    equal(connection.info.parameter_status("application_name"), "told")
    connection.execute("SET TimeZone = 'Asia/Tokyo'")
    equal(connection.info.timezone.key, "Asia/Tokyo")
    connection.execute("SET DateStyle = 'German'")
    connection.execute("RESET ALL")
    equal(connection.info.parameter_status("application_name"), "")
