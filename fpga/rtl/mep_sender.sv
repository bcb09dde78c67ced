// Values of a memory onto a stream, one a beat, behind a header where there is one. A word of P values is fetched in
// three cycles and then sent lane by lane.
module mep_sender #(
`include "mep_config.svh"
) (
    input  logic            clk,
    input  logic            rst,
    input  logic            begin_block,
    input  logic            with_header,
    input  logic            with_last,   // the last beat of the block carries TLAST
    input  logic [31:0]     header,
    input  logic [AW-1:0]   first_word,
    input  logic [31:0]     values,
    output logic            done,        // in the cycle in which the last beat is taken
    output logic [AW-1:0]   address,     // of the word to fetch
    input  logic [P*VB-1:0] word,        // sign-extended
    output logic            m_valid,
    input  logic            m_ready,
    output logic [31:0]     m_data,
    output logic            m_last
);
    logic [1:0] wait_for;   // cycles until the word is there
    logic active, heading, last_wanted;
    logic [31:0] left, heading_word;
    logic [LW-1:0] lane;
    logic [P*VB-1:0] held;
    wire sending = active && wait_for == 2'd0;
    wire signed [VB-1:0] value = held[0+:VB];
    assign m_valid = sending;
    assign m_data = heading ? heading_word : 32'(value);
    assign m_last = last_wanted && !heading && left == 32'd1;
    wire beat = sending && m_ready;
    wire value_sent = beat && !heading;
    assign done = value_sent && left == 32'd1;
    always_ff @(posedge clk) begin
        if (wait_for != 2'd0) wait_for <= wait_for - 2'd1;
        if (wait_for == 2'd1) held <= word;
        if (beat) heading <= 1'b0;
        if (value_sent) begin
            left <= left - 32'd1;
            lane <= lane + LW'(1);
            held <= held >> VB;
            if (lane == LW'(P - 1)) begin
                lane <= '0;
                address <= address + AW'(1);
                wait_for <= 2'd3;
            end
            if (left == 32'd1) active <= 1'b0;
        end
        if (begin_block) begin
            {active, heading, last_wanted, heading_word} <= {1'b1, with_header, with_last, header};
            {address, left, lane, wait_for} <= {first_word, values, LW'(0), 2'd3};
        end
        if (rst) active <= 1'b0;
    end
endmodule
