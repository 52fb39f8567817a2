// pgjdbc: prints what it gets, to be compared. Arguments: the connection's URL.

import java.sql.*;

public class Basics {
    public static void main(String[] arguments) throws Exception {
        // Statements are prepared at once, at their third use, and never.
        for (String threshold : new String[] {"1", "3", "0"}) {
            String url = arguments[0] + "&prepareThreshold=" + threshold;
            try (Connection connection = DriverManager.getConnection(url)) {
                run(connection);
            }
        }
    }

    static void run(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("DROP TABLE IF EXISTS java");
            statement.execute("CREATE TABLE java (id int PRIMARY KEY, name text)");
        }
        connection.setAutoCommit(false);
        try (PreparedStatement insert = connection.prepareStatement("INSERT INTO java VALUES (?, ?)")) {
            for (int n = 0; n < 1000; n++) {
                insert.setInt(1, n);
                insert.setString(2, "name" + n);
                insert.addBatch();
            }
            int sum = 0;
            for (int count : insert.executeBatch()) sum += count;
            System.out.println("batch " + sum);
        }
        connection.commit();
        fetch(connection);
        fail(connection);
        connection.setAutoCommit(true);
        try (PreparedStatement select = connection.prepareStatement("SELECT name FROM java WHERE id = ?")) {
            for (int n = 0; n < 10; n++) {
                select.setInt(1, n);
                try (ResultSet rows = select.executeQuery()) {
                    while (rows.next()) System.out.println(rows.getString(1));
                }
            }
        }
        String returning = "INSERT INTO java VALUES (5000, 'key')";
        try (PreparedStatement insert = connection.prepareStatement(returning, Statement.RETURN_GENERATED_KEYS)) {
            insert.executeUpdate();
            ResultSet keys = insert.getGeneratedKeys();
            while (keys.next()) System.out.println("key " + keys.getInt(1));
        }
        ResultSet columns = connection.getMetaData().getColumns(null, "public", "java", null);
        while (columns.next()) System.out.println(columns.getString("COLUMN_NAME") + " " + columns.getString("TYPE_NAME"));
    }

    // A portal that gives its rows a hundred at a time.
    static void fetch(Connection connection) throws SQLException {
        try (PreparedStatement select = connection.prepareStatement("SELECT id FROM java ORDER BY id")) {
            select.setFetchSize(100);
            long sum = 0;
            try (ResultSet rows = select.executeQuery()) {
                while (rows.next()) sum += rows.getInt(1);
            }
            System.out.println("sum " + sum);
        }
        connection.commit();
    }

    static void fail(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            Savepoint savepoint = connection.setSavepoint("one");
            try {
                statement.executeUpdate("INSERT INTO java VALUES (1, 'twice')");
            } catch (SQLException error) {
                System.out.println(error.getSQLState() + " " + error.getMessage());
            }
            try {
                statement.executeQuery("SELECT 1");
            } catch (SQLException error) {
                System.out.println(error.getSQLState());
            }
            connection.rollback(savepoint);
            ResultSet rows = statement.executeQuery("SELECT count(*) FROM java");
            rows.next();
            System.out.println("count " + rows.getInt(1));
            connection.rollback();
        }
    }
}
